"""`python -m reseller.stripe_double --port 8010 [--state FILE]`."""

import argparse
import os
import socket
import sys
from pathlib import Path

from aiohttp import web

from reseller.stripe_double import __doc__ as about
from reseller.stripe_double.app import build_app


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m reseller.stripe_double", description=about.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, required=True, help="port to listen on; 0 takes a free one and prints it")
    parser.add_argument("--state", type=Path, metavar="FILE", help="keep sessions and undelivered events in this file")
    parser.add_argument("--webhook-url", help="where events go (default: SITE_URL + /billing/webhooks/stripe/)")
    parser.add_argument(
        "--public-url", default="", help="where browsers reach it (default: the address the portal calls)"
    )
    return parser.parse_args()


def _required(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        sys.exit(f"stripe_double: {name} is not set.")
    return value


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except OSError as error:
        sys.exit(f"stripe_double: cannot listen on {host}:{port}: {error.strerror}. Choose another --port.")


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    arguments = _arguments()
    if os.environ.get("ENVIRONMENT") != "development":
        sys.exit("stripe_double: this stand-in for Stripe runs only where ENVIRONMENT is development.")
    app = build_app(
        secret_key=_required("STRIPE_SECRET_KEY"),
        webhook_secret=_required("STRIPE_WEBHOOK_SECRET"),
        webhook_url=arguments.webhook_url or _required("SITE_URL").rstrip("/") + "/billing/webhooks/stripe/",
        state_file=arguments.state,
        public_url=arguments.public_url,
    )
    listener = _listen(arguments.host, arguments.port)
    address = "http://{}:{}".format(*listener.getsockname()[:2])
    print(f"Stripe double on {address}", flush=True)  # noqa: T201 - the supervisor shows it, tests read the port
    web.run_app(app, sock=listener, print=None, access_log=None, shutdown_timeout=3)


if __name__ == "__main__":
    main()
