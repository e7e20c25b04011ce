"""The platforms that wheels are built for, and what each tool calls them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """One platform."""

    name: str  # as in `make wheels TARGETS=...`
    zig: str  # zig's target, with the oldest C library
    rust: str  # Rust's target triple
    tag: str  # platform tag of the wheel (PEP 425, PEP 600)
    system: str  # CMAKE_SYSTEM_NAME
    processor: str  # CMAKE_SYSTEM_PROCESSOR
    host: str  # autoconf's --host


# glibc 2.28 is that of Debian 10 and RHEL 8, and what ONNX Runtime's own wheels ask for.
# Rust's target gnullvm asks for LLVM's libunwind, which zig has, and not for gcc's.
TARGETS = {
    target.name: target
    for target in (
        Target(
            "linux-x86_64",
            "x86_64-linux-gnu.2.28",
            "x86_64-unknown-linux-gnu",
            "manylinux_2_28_x86_64",
            "Linux",
            "x86_64",
            "x86_64-linux-gnu",
        ),
        Target(
            "linux-aarch64",
            "aarch64-linux-gnu.2.28",
            "aarch64-unknown-linux-gnu",
            "manylinux_2_28_aarch64",
            "Linux",
            "aarch64",
            "aarch64-linux-gnu",
        ),
        Target(
            "macos-arm64",
            "aarch64-macos.11.0",
            "aarch64-apple-darwin",
            "macosx_11_0_arm64",
            "Darwin",
            "arm64",
            "aarch64-apple-darwin20",
        ),
        Target(
            "macos-x86_64",
            "x86_64-macos.11.0",
            "x86_64-apple-darwin",
            "macosx_11_0_x86_64",
            "Darwin",
            "x86_64",
            "x86_64-apple-darwin20",
        ),
        Target(
            "windows-x86_64",
            "x86_64-windows-gnu",
            "x86_64-pc-windows-gnullvm",
            "win_amd64",
            "Windows",
            "AMD64",
            "x86_64-w64-mingw32",
        ),
    )
}
