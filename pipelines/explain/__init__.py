"""Why a verdict came out as it did, and what to try next (`ddpm explain`)."""
