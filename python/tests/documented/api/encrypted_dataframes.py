# Encrypted DataFrames (zero-knowledge ML features)
@cache(serializer=EncryptionWrapper(serializer=ArrowSerializer()))
def get_patient_data(hospital_id: int):
    return pd.read_sql("SELECT * FROM patients", conn)  # database query
