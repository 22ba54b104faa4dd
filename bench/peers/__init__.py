"""What is measured beside the edge, behind it, or in its place; each a program of its own."""
