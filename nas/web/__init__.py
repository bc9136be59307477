"""The NNI web UI on a run directory: what it asks for (`answers`), over HTTP (`app`), by one command (`serve`)."""

LOOPBACK = ("127.0.0.1", "::1", "localhost")  # the names of this machine that no other can reach
