"""Control groups: limits of a watcher, and the certain end of all that a process started."""
