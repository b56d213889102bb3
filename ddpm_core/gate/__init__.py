"""The gate: its limits, its rules, the verdict, and the comparison with the champion."""
