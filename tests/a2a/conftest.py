from remote_peers import peer, serve_grpc

__all__ = ["peer", "serve_grpc"]
