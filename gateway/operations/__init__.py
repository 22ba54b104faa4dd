"""What observes and tells: metrics, and the admin listener that serves them."""
