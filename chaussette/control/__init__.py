"""The words the arbiter and its clients exchange; no socket is opened here but in client.py."""
