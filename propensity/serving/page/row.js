/** The row that the tabs look at. */

/** Dispatches `change` with each new value. */
export class Row extends EventTarget {
  constructor(contract) {
    super();
    this.contract = contract;
    this.reset();
  }

  /** Go back to the example of the contract. */
  reset() {
    // What can't be read as a value of its field, by the field's name.
    this.unreadable = new Set();
    // Without a prototype, since a field may have any name.
    this.values = Object.create(null);
    for (const field of this.contract.fields) {
      const value = this.contract.example[field.name];
      if (value !== undefined) this.values[field.name] = value;
    }
    this.dispatchEvent(new Event("change"));
  }

  /** Set a value: null is missing, `undefined` something that can't be read. */
  set(name, value) {
    this.unreadable.delete(name);
    if (value === undefined) this.unreadable.add(name);
    if (value === undefined || value === null) delete this.values[name];
    else this.values[name] = value;
    this.dispatchEvent(new Event("change"));
  }

  get isReadable() {
    return this.unreadable.size === 0;
  }

  /** Return the row as a line of JSON, with some other values. */
  line(others = {}) {
    return JSON.stringify({...this.values, ...others});
  }
}
