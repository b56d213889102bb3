"""What stage evaluate wrote, read back and verified, and the verdict on it in out/gate.json."""
