/** What the page needs, and all it may do: everything from its own origin, nothing inline, no framing. */
export const contentSecurityPolicy =
  "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";
