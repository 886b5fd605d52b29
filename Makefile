# Every command that CI runs is one of these targets. ARGS and SUITES are passed on:
# `make demo ARGS=--json`, `make test SUITES="unit it"`.

ARGS ?=
SUITES ?=
CHURN_SECONDS ?= 60
PROOF_ARGS ?=
CHAOS_ARGS ?=
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo bench bench-full distance chaos chaos-soak fuzz mutants mutation simulate test model memcheck instructions million flood churn proof rolling crash-points exactly-once lanes hostile scale-out requesters lint lint-fmt lint-clippy lint-doc lint-deny lint-shell fmt audit check-deploy

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install what building and testing need (does nothing when all is there)
	@scripts/setup.sh test

demo: ## Build the tool and watch requests and replies on an embedded broker
	@scripts/setup.sh build
	cargo run --release --locked --package antiphon-cli -- demo $(ARGS)

test: ## Run every test suite, one result line each (SUITES="unit it" for some)
	@scripts/setup.sh test
	@scripts/test.sh $(SUITES)

churn: ## Let requesters come and go on real Kafka for a minute (CHURN_SECONDS=60), and judge their calls
	@scripts/setup.sh test
	@scripts/churn.sh $(CHURN_SECONDS)

bench: ## Measure what must hold, in a quarter of an hour, and write docs/benchmarks (BENCH_ARGS="--in-flight 1,256 --rounds 3")
	@scripts/setup.sh bench
	cargo run --quiet --release --locked --package antiphon-bench -- run $(BENCH_ARGS)
	cargo run --quiet --release --locked --package antiphon-bench -- report

bench-full: ## Measure all payloads, brokers, acks and loads, for hours, and write docs/benchmarks from it
	@scripts/setup.sh bench
	cargo bench --locked --bench soak -- million > target/million.json
	cargo run --quiet --release --locked --package antiphon-bench -- run --suite full --json target/bench-full.json $(BENCH_ARGS)
	cargo run --quiet --release --locked --package antiphon-bench -- report target/bench-full.json

distance: ## Compare the produce requests in flight that Antiphon chooses with fixed numbers near and far, in an hour (DISTANCE_ARGS="--ms 0,50 --rounds 3")
	@scripts/setup.sh test
	cargo run --quiet --release --locked --package antiphon-bench -- distance $(DISTANCE_ARGS)
	cargo run --quiet --release --locked --package antiphon-bench -- distance --markdown

instructions: ## Count the instructions of hot paths, and compare with what is committed (ARGS=--accept)
	@scripts/setup.sh test
	@scripts/instructions.sh $(ARGS)

chaos: ## Inject faults on three real brokers (CHAOS_ARGS="--rows 1,11 --settings default --json F --out DIR")
	@scripts/setup.sh chaos
	@scripts/chaos.sh $(CHAOS_ARGS)

chaos-soak: ## Run under random faults for long (SOAK_ARGS="--minutes 30 --seed 1 --report F --out DIR")
	@scripts/setup.sh test
	@scripts/chaos.sh soak $(SOAK_ARGS)

fuzz: ## Fuzz what reads the bytes of strangers (FUZZ_SECONDS=60 for each of FUZZ_TARGETS="ticket json", or all)
	@scripts/setup.sh build
	@scripts/fuzz.sh $(FUZZ_SECONDS) $(FUZZ_TARGETS)

mutants: ## Break the code on purpose and see that each break is caught by name (MUTANTS="dedupe-off ...")
	@scripts/setup.sh test
	@scripts/mutants.sh $(MUTANTS)

mutation: ## Change the pure modules bit by bit, and see that unit tests notice; takes hours (MODULES="window envelope")
	@scripts/setup.sh build
	@scripts/mutation.sh $(MODULES)

model: ## Run the in-flight table under many thread schedules (MODEL_ITERATIONS=1000 of either kind)
	@scripts/setup.sh build
	@scripts/model.sh

memcheck: ## Send hostile records through what calls C, under valgrind (ARGS=embedded::round_trip for other tests)
	@scripts/setup.sh test
	@scripts/memcheck.sh $(ARGS)

simulate: ## Run requesters and repliers through what a seed decides (SEEDS=10000)
	@scripts/setup.sh build
	ANTIPHON_SEEDS=$(or $(SEEDS),10000) cargo test --release --locked --package antiphon-simulation \
	    --test seeds -- --nocapture
	ANTIPHON_SEEDS=$(or $(SEEDS),10000) cargo test --release --locked --package antiphon-replier --lib -- \
	    --nocapture intake::simulation

million: ## Hold a million calls in flight on real Kafka, and measure what one costs
	@scripts/setup.sh test
	cargo bench --locked --bench soak -- million

flood: ## Send 100,000 forged replies a second at a requester on real Kafka
	@scripts/setup.sh test
	cargo bench --locked --bench soak -- flood

proof: ## Prove what the replier promises on real Kafka: all of the seven below, one line of JSON each
	@scripts/setup.sh test
	@scripts/proof.sh

rolling: ## Restart three repliers in turn under 5,000 requests a second (PROOF_ARGS="--protocol consumer")
	@scripts/setup.sh test
	@scripts/proof.sh rolling $(PROOF_ARGS)

crash-points: ## Kill a replier at each of several points of a request
	@scripts/setup.sh test
	@scripts/proof.sh crash-points $(PROOF_ARGS)

exactly-once: ## Kill repliers that answer in transactions, and count committed replies
	@scripts/setup.sh test
	@scripts/proof.sh exactly-once $(PROOF_ARGS)

lanes: ## Compare the lane by key with that by partition, and check the order of each key
	@scripts/setup.sh test
	@scripts/proof.sh lanes $(PROOF_ARGS)

hostile: ## Mix in handlers that hang, panic and block, and poison (PROOF_ARGS="--seconds 60")
	@scripts/setup.sh test
	@scripts/proof.sh hostile $(PROOF_ARGS)

scale-out: ## Measure 1, 2 and 4 repliers
	@scripts/setup.sh test
	@scripts/proof.sh scale-out $(PROOF_ARGS)

requesters: ## Measure what 1, 4, 16 and 64 requesters read for each reply, with leases and without
	@scripts/setup.sh test
	@scripts/proof.sh requesters $(PROOF_ARGS)

lint: lint-fmt lint-clippy lint-doc lint-deny lint-shell ## Check format, lints, documentation, dependencies and scripts

lint-fmt:
	@scripts/require-component.sh rustfmt
	cargo fmt --all --check

lint-clippy:
	@scripts/setup.sh build
	@scripts/require-component.sh clippy
	cargo clippy --workspace --all-targets --all-features --locked -- -D warnings

lint-doc:
	@scripts/setup.sh build
	RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --all-features --no-deps --locked

lint-deny:
	@scripts/setup.sh build
	scripts/cargo-deny.sh check bans licenses sources

lint-shell:
	@scripts/setup.sh test
	scripts/python-tool.sh shellcheck -x scripts/*.sh .ci/run

fmt: ## Format the Rust code
	@scripts/require-component.sh rustfmt
	cargo fmt --all

audit: ## Check dependencies for known vulnerabilities (fetches the RustSec database from GitHub)
	@scripts/setup.sh build
	scripts/cargo-deny.sh check advisories

check-deploy: ## Check what is in deploy/ with the tools that will read it
	@scripts/setup.sh test
	cargo build --locked --package antiphon-cli
	@scripts/check-deploy.sh
