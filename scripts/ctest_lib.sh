# Sourced. run_ctest PRESET ARGS... runs CTest and sets run_passed and run_failed. run_presets WORD PRESET... builds each
# preset, runs its tests with the CTest arguments in the array ctest_args, and adds to the counts `passed` and `failed`.
# report_counts prints them as the last line, `N passed, N failed`. With `ctest_progress` set, each test is shown as it ends.
passed=0
failed=0

# ThreadSanitizer of this age dislikes much randomness of addresses; it is switched off where that is allowed.
ckit_launcher=()
if [ "$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 0)" -gt 28 ] &&
    setarch "$(uname -m)" -R true 2>/dev/null; then
    ckit_launcher=(setarch "$(uname -m)" -R)
fi

show_progress() {
    if [ -n "${ctest_progress:-}" ]; then
        sed -unE 's/^ *([0-9]+\/[0-9]+ Test +#[0-9]+: .*)/   \1/p'
    else
        cat >/dev/null
    fi
}

run_ctest() {
    local preset=$1 out code
    shift
    out="build/$preset-ctest.log"
    "${ckit_launcher[@]}" ctest --preset "$preset" --no-tests=error "$@" 2>&1 | tee "$out" | show_progress
    code=${PIPESTATUS[0]}
    # Passing tests are not news; a failing one has its output in the log.
    if [ $code -ne 0 ]; then
        cat "$out"
    fi
    run_passed=$(grep -cE '^ *[0-9]+/[0-9]+ Test +#[0-9]+: .* Passed ' "$out")
    run_failed=$(sed -nE 's/^[0-9]+% tests passed, ([0-9]+) tests? failed out of [0-9]+$/\1/p' "$out" | tail -n 1)
    run_failed=${run_failed:-1}
    if [ $code -ne 0 ] && [ "$run_failed" -eq 0 ]; then
        run_failed=1
    fi
    grep -E '\*\*\*(Skipped|Not Run)' "$out" || true
    echo "   $preset: $run_passed passed, $run_failed failed"
}

# A build that fails counts as one failed test.
run_presets() {
    local word=$1 preset
    shift
    for preset in "$@"; do
        echo "== $preset: build"
        if ! scripts/build.sh "$preset"; then
            failed=$((failed + 1))
            continue
        fi
        echo "== $preset: $word"
        run_ctest "$preset" "${ctest_args[@]}"
        passed=$((passed + run_passed))
        failed=$((failed + run_failed))
    done
}

# False when anything failed.
report_counts() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
}
