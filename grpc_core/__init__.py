"""The core: a currency conversion service on `grpc.aio`, with the reference rates of the ECB."""
