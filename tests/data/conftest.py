import gzip
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest


def idx_bytes(array, kind=8):
    """`array` (uint8) as the content of an IDX file."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def digit_files():
    """The content of four small MNIST files by their names: 3 training images and 2 test images."""
    files = {}
    for prefix, count in (("train", 3), ("t10k", 2)):
        images = (np.arange(count * 784) % 256).astype(np.uint8).reshape(count, 28, 28)
        labels = np.arange(count, dtype=np.uint8) + 5
        files[f"{prefix}-images-idx3-ubyte.gz"] = gzip.compress(idx_bytes(images))
        files[f"{prefix}-labels-idx1-ubyte.gz"] = gzip.compress(idx_bytes(labels))
    return files


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """Whatever proxy the machine has, it does not lead to a server of these tests."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def serve():
    """Starts web servers on this machine: `serve(files, cut=0)` is the URL of one that offers `files` (by name).

    With `cut` it closes each connection so many bytes before the promised end.
    """
    servers = []

    def start(files, cut=0):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                content = files.get(self.path.removeprefix("/"))
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) - cut])

            def log_message(self, *arguments):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()
