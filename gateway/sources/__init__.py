"""Where a contract comes from: descriptor sets, .proto files, git revisions, servers with reflection."""
