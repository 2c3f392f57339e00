/** A file that can't be read as rows of the model. */

/** Has the key and the values of its words, since it may be shown in either language. */
export class FileError extends Error {
  constructor(key, values = {}) {
    super(key);
    this.key = key;
    this.values = values;
  }
}
