"""The gRPC services of the edge itself, which no upstream answers: health and reflection."""
