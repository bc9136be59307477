"""Training one network as a practitioner does it."""
