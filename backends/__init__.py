"""Interchangeable servers behind one small contract: see base.py, then registry.py."""
