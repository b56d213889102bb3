"""The commands of `ddpm`, one module each: `add_to(verbs)` declares it, and its action imports what it needs."""
