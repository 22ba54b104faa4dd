"""Live reference rates: fetched over HTTP, kept on disk. Only what `CORE_RATES=ecb` needs, imported late."""
