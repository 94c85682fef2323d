"""Real servers and whole hosts on one machine, for the tests and for trying cronkeeper out."""
