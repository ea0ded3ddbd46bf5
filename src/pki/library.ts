/** The X.509 library registers its classes through Reflect metadata while it loads, so the polyfill must be there first: import it from here only. */
import 'reflect-metadata'
export * from '@peculiar/x509'
