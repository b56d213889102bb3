"""What a training minimises: one file an objective. The trainer knows them by `base.Objective` alone."""
