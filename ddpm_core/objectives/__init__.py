"""Objectives, which a training minimises: one file each. The trainer uses the interface `base.Objective` alone."""
