"""The commands. Each module is one program's entry point."""
