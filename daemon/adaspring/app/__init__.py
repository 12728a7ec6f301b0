"""The process: configuration, threads, service manager, journal, control loop."""
