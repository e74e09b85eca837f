"""The wire formats of SDKs. Each turns requests into drafts, and knows which answer its SDKs expect."""
