"""What others do with the same work: a plain loop, and the frameworks that call it. One file a peer."""
