"""What a bare machine starts with: images and where they go, the built-in firmware, and the commit log of its harts."""
