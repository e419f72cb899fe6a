//! The runner for browsers, in JavaScript: see `web/lithify.js`.

/// Name of the artifact in the page's folder.
pub const WEB_ARTIFACT: &str = "app.wasm";

/// Browsers refuse modules from this length on.
pub const MAX_WEB_ARTIFACT: u64 = 1 << 30;

/// The page's other files: name, text.
pub const WEB_PAGE: [(&str, &str); 7] = [
    ("index.html", include_str!("../web/index.html")),
    ("lithify.js", include_str!("../web/lithify.js")),
    ("worker.js", include_str!("../web/worker.js")),
    ("wasi.js", include_str!("../web/wasi.js")),
    ("channel.js", include_str!("../web/channel.js")),
    ("request.js", include_str!("../web/request.js")),
    ("isolation.js", include_str!("../web/isolation.js")),
];
