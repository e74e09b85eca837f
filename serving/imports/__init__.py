"""Orders and members from servers, files, topics and marketplaces: all become messages for the collector."""
