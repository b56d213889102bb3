"""The verbs of `ddpm`, one a module: `add_to(verbs)` declares it, and its action imports what it needs when it runs."""
