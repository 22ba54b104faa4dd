"""What watches the edge and tells of it: the access log, metrics, readiness."""
