"""The steps, each in a file named for its number. One that was released never changes."""
