"""Tables of trained networks, and searches in them on a simulated clock."""
