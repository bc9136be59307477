"""One-shot search: candidates are evaluated with weights that they share (arXiv 1802.03268, 1904.00420)."""
