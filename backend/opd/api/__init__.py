"""The HTTP and WebSocket face of the studio: routes, their shapes, the guard before them, the live stream."""
