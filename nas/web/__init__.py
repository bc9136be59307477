"""The NNI web UI on a run directory: what it asks for (`answers`), over HTTP (`app`), by one command (`serve`)."""
