"""Kinds of data, one file each; the file's name is the KIND of `--data KIND:PATH`."""
