"""The core: a currency service on `grpc.aio`, at the reference rates of the ECB."""
