from remote_peers import peer, serve_grpc
from serving_world import worlds

__all__ = ["peer", "serve_grpc", "worlds"]
