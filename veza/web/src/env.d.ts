/** The commit this build was stamped with; used by the service worker only. The page reads it from its meta tag. */
declare const __COMMIT__: string;
