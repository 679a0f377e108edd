// Config and Files: only the header is live.
import "./live.js";
