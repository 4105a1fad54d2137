# Two commands are enough: `make run` and `make test`. `make` alone lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run test test-faults test-stripe test-interop bench bench-quick bench-ledger bench-inbound lint format lock \
	reset clean

# Where it is set, every process compiles everything anew: seconds each time, of which tests start hundreds.
unexport PYTHONDONTWRITEBYTECODE

# Three to five test workers, one more than processors: one of them mostly waits, for a browser and killed processes.
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$(( n < 2 ? 3 : n > 4 ? 5 : n + 1 )))
COMPILE = .venv/bin/uv pip compile --quiet --generate-hashes --universal --python-version 3.11 \
	--no-emit-index-url --no-emit-find-links --no-header
# Checks see neither .env nor a running portal; the values are those of no machine.
PRODUCTION = READ_ENV_FILES=false ENVIRONMENT=production SITE_URL=https://portal.example ALLOWED_HOSTS=portal.example \
	EMAIL_URL=smtp+tls://mail.example:587 DATABASE_URL=postgres://nobody@127.0.0.1:9/none REDIS_URL=redis://127.0.0.1:9/0 \
	SECRET_KEY=lint-only-q8Zr5vXw2TnYb7Kc4MfHj9LpSd3GaEu6Rt1Wx0Vz8By STRIPE_SECRET_KEY=sk_lint STRIPE_WEBHOOK_SECRET=whsec_lint \
	CREDENTIAL_KEYS=bGludC1vbmx5LWxpbnQtb25seS1saW50LW9ubHktMDE=

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 16

run: ## the whole portal with demo data on http://127.0.0.1:8000 (PORT=8010 make run for another port)
	@scripts/venv run
	@exec .venv/bin/python -m reseller.run

test: ## every test, browser tests included (ARGS="tests/billing -k receipt" for some)
	@scripts/venv dev
	@scripts/chromium
	@exec .venv/bin/pytest -q -n $(WORKERS) --dist loadgroup --ignore tests/stripe --ignore tests/interop/installed \
		$(ARGS)

test-faults: ## seeded runs in which everything is killed, paused or cut (SEEDS=50 for more, FIRST_SEED=7)
	@scripts/venv dev
	@FAULT_SEEDS=$(or $(SEEDS),20) exec .venv/bin/pytest -q -s tests/faults/test_seeded.py $(ARGS)

bench: ## the send engine from acceptance to the last receipt, beside the engines' bare limits (ARGS="--only batch")
	@scripts/venv dev
	@.venv/bin/python -m benchmarks.sending $(ARGS)

bench-quick: ## the same with smaller sizes, in under five minutes
	@scripts/venv dev
	@.venv/bin/python -m benchmarks.sending --quick $(ARGS)

bench-ledger: ## how fast the ledger is, beside the engine's bare limit (ARGS=--quick for a short run)
	@scripts/venv dev
	@.venv/bin/python -m benchmarks.ledger $(ARGS)

bench-inbound: ## messages from phones, from the carrier's socket to all done (ARGS=--quick for a short run)
	@scripts/venv dev
	@.venv/bin/python -m benchmarks.inbound $(ARGS)

test-stripe: ## the gateway against Stripe itself (STRIPE_TEST_SECRET_KEY=sk_test_… make test-stripe)
	@scripts/venv dev
	@test -n "$$STRIPE_TEST_SECRET_KEY" || { echo "make: set STRIPE_TEST_SECRET_KEY to a key of Stripe's test mode." >&2; exit 1; }
	@exec .venv/bin/pytest -q tests/stripe $(ARGS)

test-interop: ## against software of others, which it installs: Kannel, Node's smpp, two Python clients
	@scripts/venv dev
	@scripts/interop
	@exec .venv/bin/pytest -q tests/interop $(ARGS)

lint: ## ruff, mypy, import-linter, djlint, missing migrations, deployment checks
	@scripts/venv dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	$(PRODUCTION) .venv/bin/mypy .
	.venv/bin/lint-imports
	.venv/bin/djlint templates --lint --quiet
	$(PRODUCTION) .venv/bin/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	$(PRODUCTION) .venv/bin/python manage.py check --deploy --fail-level WARNING

format: ## let ruff format the code
	@scripts/venv dev
	.venv/bin/ruff check --fix-only --quiet .
	.venv/bin/ruff format .

lock: ## write the lock files anew from requirements*.in
	@scripts/venv dev
	$(COMPILE) --upgrade -o requirements.lock requirements.in
	$(COMPILE) --upgrade -c requirements.lock -o requirements-dev.lock requirements-dev.in
	echo uv | $(COMPILE) --upgrade --no-annotate -o requirements-bootstrap.lock -

reset: ## forget the data of make run (.local)
	@mkdir -p .local && flock -n .local/run.lock rm -rf .local || \
		{ echo "make: the portal runs or .local is not yours; stop make run first." >&2; exit 1; }

clean: reset ## forget everything that was made here, .venv too
	rm -rf .venv staticfiles test-results .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
