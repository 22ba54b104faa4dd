"""Client certificates: who calls, by the certificate with which the connection was opened."""
