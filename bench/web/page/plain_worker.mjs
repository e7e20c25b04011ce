// The package's worker in a browser without relaxed SIMD, as far as the package can tell.
import "./plain.mjs";
import "/bundle/worker.js";
