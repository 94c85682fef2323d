"""Scripts and binaries, stored once under their SHA-256."""
