"""What can be set, declared once; nothing here touches the system."""
