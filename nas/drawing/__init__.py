"""Pictures of architectures: what the boxes say, where they stand, how they are drawn."""
