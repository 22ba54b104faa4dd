"""What a server's process needs, whatever it serves: edge and core are both made of it.

Log lines, environment variables, workers, systemd, and the counting and exposition of metrics.

Rule: it imports neither the edge nor the core, and knows nothing of HTTP or gRPC.
"""
