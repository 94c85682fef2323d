"""Scripts and binaries, stored once under their SHA-256; and what runs wrote, under their names."""
